// What a load-test message carries in its text, so that every receiver can tell what is missing, what came twice and
// how long it took: "~<sender> <number> <intended> <words>". `sender` is the number of the virtual user, `number` counts
// its messages from 1 without a hole, `intended` is when it wanted to send, in ms since 1970.

const TILDE = 0x7e;
const SPACE = 0x20;

export function stamped(sender, number, intended, words) {
  return `~${sender} ${number} ${intended} ${words}`;
}

// The stamp in the bytes of a text as [sender, number, intended]; null for a text without one. It is read off the bytes,
// because making a string first would cost more than everything else that is done for a delivery.
export function stampIn(bytes, first, end) {
  if (bytes[first] !== TILDE) return null;
  const numbers = [];
  let number = 0;
  for (let i = first + 1; i < end && numbers.length < 3; i++) {
    const byte = bytes[i];
    if (byte === SPACE) {
      numbers.push(number);
      number = 0;
    } else if (byte >= 0x30 && byte <= 0x39) number = number * 10 + byte - 0x30;
    else return null;
  }
  return numbers.length === 3 ? numbers : null;
}
