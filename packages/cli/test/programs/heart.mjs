// Writes the time to a file again and again, deaf to SIGTERM: heart.mjs <file>. Its last line is when it
// was last seen alive, in ms since 1970.
import { openSync, writeSync } from 'node:fs';

const [path] = process.argv.slice(2);
const file = openSync(path, 'a');
const now = () => performance.timeOrigin + performance.now();
process.on('SIGTERM', () => writeSync(file, `TERM ${now()}\n`));
console.log(`beats, pid ${process.pid}`);
setInterval(() => writeSync(file, `${now()}\n`), 2);
