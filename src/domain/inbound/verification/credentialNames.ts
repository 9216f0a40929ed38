import type { AuthSettings } from './authType.ts';

/** What carries credentials whoever sends it. */
const ALWAYS = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key'];

/** The headers, in lower case, that a record of a request must not show: they prove as they stand. Signatures don't. */
export const credentialHeaderNames = ({ type, config }: AuthSettings): readonly string[] => {
  const header = type === 'API_KEY' ? config['header'] : undefined;
  return typeof header === 'string' ? [...ALWAYS, header.toLowerCase()] : ALWAYS;
};

/** The query parameters that a record of a request must not show. */
export const credentialQueryNames = ({ type, config }: AuthSettings): readonly string[] => {
  const names = config['handshake'] === 'meta' ? ['hub.verify_token'] : [];
  return type === 'QUERY_TOKEN' && typeof config['param'] === 'string' ? [...names, config['param']] : names;
};
