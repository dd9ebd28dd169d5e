// The same transfers twice, without locks and with them: in one process, or, with REDIS_URL, in four.
import { demonstrate as inProcess } from './in-process.ts';
import { demonstrate as inProcesses } from './in-processes.ts';

const url = process.env['REDIS_URL'] ?? '';
await (url === '' ? inProcess() : inProcesses(url)).catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
