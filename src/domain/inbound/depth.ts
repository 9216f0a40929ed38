/**
 * JSON nests at most this deep: JSON.parse takes any depth, but whatever walks the value afterwards, serialising it or mapping
 * it, recurses.
 */
const MOST_LEVELS = 500;

const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];
const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/** Whether JSON nests deeper than it may. Counts brackets outside of texts; of what is no JSON it may say anything. */
export const isTooDeep = (json: Uint8Array): boolean => {
  if (json.length < 2 * MOST_LEVELS) return false;
  let level = 0;
  let inText = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (inText) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inText = false;
    } else if (byte === QUOTE) inText = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      if (++level > MOST_LEVELS) return true;
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) level--;
  }
  return false;
};
