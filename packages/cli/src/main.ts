#!/usr/bin/env node
import { runProgram } from './program.ts';

// Not left to the event loop: the application's own locker may keep connections open.
process.exit(await runProgram(process.argv.slice(2)));
