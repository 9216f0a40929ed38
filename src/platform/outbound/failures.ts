/** Why an exchange is no success. */
export type FailureCode =
  | 'HTTP_STATUS'
  | 'REDIRECT'
  | 'TIMEOUT'
  | 'DNS'
  | 'CONNECTION_REFUSED'
  | 'CONNECTION_RESET'
  | 'TLS'
  | 'BLOCKED_ADDRESS'
  | 'RESPONSE_TOO_LARGE'
  | 'UNKNOWN';

/** What the history shows: the message is one sentence for the webhook's owner, without secrets and without our insides. */
export interface Failure {
  readonly code: FailureCode;
  readonly message: string;
}

/** A failure on the way to an answer that our own code found. Its message goes to the history as it is. */
export class OutboundError extends Error {
  override readonly name = 'OutboundError';
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** The failure behind a status, or null for 2xx. Redirects are failures of their own: they are never followed. */
export function failureOfStatus(status: number): Failure | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400) {
    return {
      code: 'REDIRECT',
      message: `The endpoint answered ${status}, a redirect, which is never followed: set the URL to where it leads.`,
    };
  }
  return { code: 'HTTP_STATUS', message: `The endpoint answered ${status}; only 2xx is a success.` };
}

const LOST_CONNECTION = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_SOCKET']);

/** Whether an error means no more than that the connection went away. */
export function isConnectionLoss(error: unknown): boolean {
  return LOST_CONNECTION.has(codeOf(error));
}

/** The failure behind an error of a socket or of the HTTP parser, or null for one that nobody foresaw. */
export function failureOfError(error: unknown): Failure | null {
  if (error instanceof OutboundError) return { code: error.code, message: error.message };
  const code = codeOf(error);
  if (isNonsense(error, code)) {
    return { code: 'UNKNOWN', message: 'The endpoint answered with something that is not valid HTTP/1.1.' };
  }
  if (isConnectionLoss(error)) {
    return { code: 'CONNECTION_RESET', message: 'The endpoint closed the connection before it answered.' };
  }
  switch (code) {
    case 'ECONNREFUSED':
      return { code: 'CONNECTION_REFUSED', message: 'Nothing accepts connections at the host and port of the URL.' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
      return { code: 'CONNECTION_REFUSED', message: 'There is no network route to the host of the URL.' };
    case 'ETIMEDOUT':
      return { code: 'TIMEOUT', message: 'The host of the URL did not accept a connection in time.' };
    case 'UND_ERR_HEADERS_OVERFLOW':
      return { code: 'RESPONSE_TOO_LARGE', message: 'The headers of the answer are larger than 64 KiB.' };
    default:
      return null;
  }
}

/** What undici's parser says of an answer that it can't accept; an interim 100 and a switch of protocols, neither asked for, are socket errors to it. */
function isNonsense(error: unknown, code: string): boolean {
  if (!(error instanceof Error)) return false;
  // By name, since undici leaves the code of its parser's errors out.
  if (error.name === 'HTTPParserError' || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return true;
  return code === 'UND_ERR_SOCKET' && error.message.startsWith('bad ');
}

/** The failure of a TLS handshake, from what Node or OpenSSL says. */
export function tlsError(error: unknown): OutboundError {
  return new OutboundError('TLS', tlsMessage(codeOf(error)), error);
}

function tlsMessage(code: string): string {
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'The certificate of the endpoint is for another host name.';
    case 'CERT_HAS_EXPIRED':
      return 'The certificate of the endpoint has expired.';
    case 'CERT_NOT_YET_VALID':
      return 'The certificate of the endpoint is not valid yet.';
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return 'The certificate of the endpoint is self-signed: install one from a public authority, or set verifySsl to false.';
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return 'The certificate of the endpoint cannot be traced to a public authority; often an intermediate certificate is missing on the server.';
    default:
      return 'No TLS connection with the endpoint could be agreed upon: check that its port speaks TLS 1.2 or newer.';
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
