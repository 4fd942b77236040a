// What containers answer and log in the tests of harmful strings: whole HTTP answers, byte for byte.

const HEAD = (text, type, length) =>
  [
    `HTTP/1.1 200 ${text}`,
    `Content-Type: ${type}`,
    `X-Said: ${text}`,
    `Set-Cookie: a=${text}`,
    `Content-Length: ${length}`,
    "Connection: close",
    "",
    "",
  ].join("\r\n");

/** Only what may stand in a header: visible ASCII. */
const inHeader = (text) => text.replace(/[^\x20-\x7e]/g, "?");

/** The string as a JSON value, where the event expects the participant's name. */
export function jsonAnswer(text) {
  const body = JSON.stringify({ name: text, vote: text, [text]: { __proto__: null } });
  return HEAD(inHeader(text), "application/json", Buffer.byteLength(body)) + body;
}

/** The string as a page of its own. */
export function htmlAnswer(text) {
  const body = `<!doctype html><title>${text}</title>\n${text}\n`;
  return HEAD(inHeader(text), "text/html; charset=utf-8", Buffer.byteLength(body)) + body;
}

/** The files of an image that gives the n-th answer at `/n`, and logs all of the strings. */
export function answerFiles(texts, answer) {
  const files = { "answers/log": texts.join("\n") };
  texts.forEach((text, index) => {
    files[`answers/${index}`] = answer(text);
  });
  return files;
}
