import { ValidationError } from '../errors.ts';
import type { ReceiverReader } from './directory.ts';
import { givenHeaders } from './givenHeaders.ts';
import type { InboundRequest } from './verification/request.ts';
import { rejected } from './verification/verification.ts';
import type { Verification } from './verification/verification.ts';

export interface PayloadCheckInput {
  /** UUID; null for text that is no id. */
  readonly webhookId: string | null;
  readonly body: string;
  readonly headers: unknown;
  /** Where senders may have posted to: signatures of some include the address. */
  readonly urls: readonly string[];
}

/**
 * Judges a signed payload as the webhook's receiver would now, whatever the webhook's status, and keeps nothing. The client's
 * address is the first one of a header `x-forwarded-for`, if there is one. Throws ValidationError.
 */
export const checkPayload = async (
  receivers: ReceiverReader,
  maxBodyBytes: number,
  tenantId: string,
  { webhookId, body, headers, urls }: PayloadCheckInput,
): Promise<Verification> => {
  const given = givenHeaders(headers, ['input', 'headers']);
  const bytes = Buffer.from(body);
  if (bytes.length > maxBodyBytes) {
    throw new ValidationError(`The body is larger than a receiver takes: ${maxBodyBytes} bytes.`, ['input', 'body']);
  }
  const receiver = webhookId === null ? null : await receivers.read({ id: webhookId });
  if (receiver?.tenantId !== tenantId) return NOT_FOUND;
  const verdicts = urls.map((url) => {
    const { pathname, search } = new URL(url);
    const request: InboundRequest = {
      method: 'POST',
      url,
      path: pathname,
      query: search.slice(1),
      headers: given,
      body: bytes,
      remoteAddress: given['x-forwarded-for']?.split(',')[0]?.trim() ?? '',
      receivedAt: Date.now(),
    };
    return receiver.verifier.verify(request);
  });
  return verdicts.find(({ valid }) => valid) ?? verdicts[0] ?? NOT_FOUND;
};

const NOT_FOUND: Verification = {
  ...rejected('REJECTED_NO_AUTH', 'There is no such inbound webhook.'),
  authStatus: 'NOT_CHECKED',
};
