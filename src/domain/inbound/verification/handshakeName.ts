/** The handshakes that a configuration can name: each a sender's way to ask whether an address is the owner's. */
export const HANDSHAKE_NAMES = [
  'slack',
  'discord',
  'zoom',
  'meta',
  'x',
  'microsoft-graph',
  'dropbox',
  'notion',
] as const;

export type HandshakeName = (typeof HANDSHAKE_NAMES)[number];

/** The secret that a handshake's answer is made with: the key of the signatures, or the verify token. */
export const HANDSHAKE_NEEDS: Readonly<Record<HandshakeName, 'key' | 'verifyToken' | null>> = {
  slack: null,
  discord: null,
  zoom: 'key',
  meta: 'verifyToken',
  x: 'key',
  'microsoft-graph': null,
  dropbox: null,
  notion: null,
};
