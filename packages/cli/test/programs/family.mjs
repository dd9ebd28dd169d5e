// A parent and its child that both say which signal they got: family.mjs <signal>.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const [signal, role = 'parent'] = process.argv.slice(2);
const wait = setInterval(() => {}, 1_000);
const got = once(process, signal).then(() => console.log(`${role} got ${signal}`));
if (role === 'child') {
  console.log('child is ready');
  await got;
  clearInterval(wait);
} else {
  const child = spawn(process.execPath, [process.argv[1], signal, 'child'], { stdio: 'inherit' });
  await Promise.all([got, once(child, 'exit')]);
  process.exit(7);
}
