#!/usr/bin/env node
import { runProgram } from './program.ts';

// Whoever read it has gone, as `head` does: there is nobody to tell more.
process.stdout.on('error', () => process.exit(0));
// A command under a lock runs on, whoever listens.
process.stderr.on('error', () => {});

// Not left to the event loop: the application's own locker may keep connections open.
process.exit(await runProgram(process.argv.slice(2)));
