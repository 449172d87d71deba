// What is said when something is wrong, by every module of the driver and by a glue.

const LONGEST = 200; // characters of a text of the SDK's that is repeated in an error

// What is wrong with the bundle, the glue or the command, in one line.
export class DriverError extends Error {}

// Whatever was thrown, in one line that can be printed. It may be no error, and may throw when it is looked at.
export function oneLine(error) {
  let text;
  try {
    text = String(error?.message || error);
  } catch {
    text = 'something that has no text';
  }
  const [line] = text.split(/[\r\n\u2028\u2029]/, 1);
  return line.slice(0, LONGEST).replace(/[\p{Cc}\p{Cs}]/gu, '\ufffd');
}

// What is to be said of it: a DriverError as it is, and anything else as thrown by the SDK. That may be anything, too.
export const driverError = error =>
  error instanceof DriverError ? error : new DriverError(`the SDK throws where the driver looks at it: ${oneLine(error)}`);
