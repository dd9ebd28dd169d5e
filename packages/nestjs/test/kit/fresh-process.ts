// Runs before each file, which may share its process with others: what is told of a service without
// `LockModule` depends on the applications of the process, and those of other files are still remembered.
const remembered: unknown = Reflect.get(globalThis, Symbol.for('@holdfast/nestjs:applications'));
if (remembered instanceof Set) remembered.clear();
