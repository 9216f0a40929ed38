import type { InboundRequest } from '../../src/domain/inbound/verification/request.ts';

/** What a request is like where a test says nothing else. */
export interface RequestParts {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly remoteAddress?: string;
  readonly receivedAt?: number;
}

/** A request as the receiver hands it to the verifier. */
export const inboundRequest = ({
  method = 'POST',
  url = 'https://hooks.example.com/api/inbound/acme/sender',
  headers = {},
  body = '',
  remoteAddress = '192.0.2.7',
  receivedAt = Date.now(),
}: RequestParts = {}): InboundRequest => {
  const pathAndQuery = url.replace(/^https?:\/\/[^/?]*/, '');
  const [path = '', ...query] = pathAndQuery.split('?');
  return {
    method,
    url,
    path,
    query: query.join('?'),
    headers,
    body: Buffer.from(body as string, 'utf8'),
    remoteAddress,
    receivedAt,
  };
};
