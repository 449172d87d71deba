// What is said when something is wrong, by every module of the driver and by a glue.

// What is wrong with the bundle, the glue or the command, in one line.
export class DriverError extends Error {}

// Whatever was thrown, in one line.
export const oneLine = error => String(error?.message ?? error).split('\n')[0];
