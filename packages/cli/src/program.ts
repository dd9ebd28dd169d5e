import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { readFileSync } from 'node:fs';
import { doctor } from './commands/doctor.ts';
import { inspect } from './commands/inspect.ts';
import { ls } from './commands/ls.ts';
import { release } from './commands/release.ts';
import { run } from './commands/run.ts';
import { watch } from './commands/watch.ts';
import { parseDuration } from './durations.ts';
import { EXIT, exitCodeOf, messageOf, UsageError } from './exit-codes.ts';

const EXAMPLES = `
Examples:
  holdfast run migrate -- npx drizzle-kit migrate     one replica migrates, the others wait
  holdfast run export --limit 3 -- node export.js     three at a time, on all machines
  holdfast run nightly --try -- node report.js        on one machine; 75 on the others
  holdfast ls order:                                  what is held, the oldest first
  holdfast inspect order:42                           who holds it, and who waits
  holdfast release order:42 --reason 'INC-7: hung'    frees it; the holder is told
  holdfast doctor                                     is the server fit for locks?

The store is that of --url, --config, a holdfast.config.js or .ts here, or REDIS_URL.
Durations: 500ms, 30s, 5m, 1h; a bare number is ms.
Exit codes: the command's own; 75 busy, 69 the store is away, 64 wrong usage.`;

const version = (): string => {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
};

function count(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) {
    throw new InvalidArgumentError('It must be a whole number from 1.');
  }
  return number;
}

/** One limit, or one for each key. */
function limits(text: string): number | number[] {
  const [first, ...others] = text.split(',').map(count);
  return others.length === 0 ? (first as number) : [first as number, ...others];
}

/**
 * Runs the program.
 *
 * @param argv without Node and the program
 * @returns the exit code
 */
export async function runProgram(argv: readonly string[]): Promise<number> {
  const end = argv.indexOf('--');
  const before = end === -1 ? argv : argv.slice(0, end);
  const isRun = argv[0] === 'run';
  // What follows is the command's, whatever it looks like. Elsewhere it may be a key that begins with a
  // dash.
  const own = isRun ? before : argv;
  const command = isRun && end !== -1 ? argv.slice(end + 1) : [];
  let code: number = EXIT.ok;
  const json = before.includes('--json');
  const program = makeProgram(command, json, (result) => (code = result));
  try {
    await program.parseAsync([...own], { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      report(error, json);
      return exitCodeOf(error);
    }
    if (error.exitCode === 0) return EXIT.ok;
    // For people it has said so itself, with a hint.
    if (json) report(new UsageError(error.message.replace(/^error: /, '')), json);
    return EXIT.usage;
  }
}

function report(error: unknown, json: boolean): void {
  const message = messageOf(error);
  const { code } = error as { code?: string };
  const line = json ? JSON.stringify({ event: 'error', code, message }) : `holdfast: ${message}`;
  process.stderr.write(`${line}\n`);
}

function makeProgram(
  command: readonly string[],
  json: boolean,
  done: (code: number) => void,
): Command {
  const program = new Command('holdfast')
    .description('Run commands under locks; see, check and release the locks of your services.')
    .version(version())
    .exitOverride()
    .configureOutput(json ? { writeErr: () => {} } : {})
    .showHelpAfterError('(holdfast --help shows what there is)')
    .addHelpText('after', EXAMPLES);
  const add = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option(
        '--url <url>',
        'the Redis server; of a Cluster, some of its servers, with commas between',
      )
      .option('--cluster', 'it is a Cluster')
      .option('--config <file>', 'a file that exports the locker of the application')
      .option('--namespace <name>', "of the application's locker; without it 'holdfast'")
      .option('--json', 'for programs');

  add('run', 'run a command under a lock: holdfast run <key...> [options] -- <command...>')
    .argument('<key...>', 'several are taken all or none')
    .usage('<key...> [options] -- <command...>')
    .option(
      '--ttl <duration>',
      'how long a crash of this machine keeps others out',
      parseDuration('--ttl'),
    )
    .option(
      '--wait <duration>',
      'how long to wait; without it as long as it takes',
      parseDuration('--wait'),
    )
    .option('--try', 'do not wait')
    .option('--max-hold <duration>', 'stop the command after so long', parseDuration('--max-hold'))
    .option('--shared', 'together with others that say --shared')
    .option(
      '--limit <n>',
      'together with n - 1 others that say so; for several keys one each: 3,10',
      limits,
    )
    .option('--weight <n>', 'how many of the --limit this one is', count)
    .option('--label <text>', 'who holds, for people')
    .action(async (keys: string[], flags) => done(await run(keys, command, flags)));
  add('ls', 'list the locks that are held, the oldest first')
    .argument('[prefix]', 'of keys')
    .option('--limit <n>', 'at most so many', count)
    .action(async (prefix: string | undefined, flags) => done(await ls(prefix, flags)));
  add('inspect', 'show who holds a lock, and who waits for it')
    .argument('<key>')
    .action(async (key: string, flags) => done(await inspect(key, flags)));
  add('release', 'free a lock, whoever holds it; the holder is told')
    .argument('<key>')
    .requiredOption('--reason <text>', 'why, for those who read the log')
    .option('--holder <owner>', 'only this one of several holders, as inspect shows its owner')
    .option('--yes', 'do not ask')
    .action(async (key: string, flags) => done(await release(key, flags)));
  add('watch', 'show the locks that are held, live')
    .argument('[prefix]', 'of keys')
    .option('--interval <duration>', 'between looks', parseDuration('--interval'), 1_000)
    .action(async (prefix: string | undefined, flags) => done(await watch(prefix, flags)));
  add(
    'doctor',
    'check the server: eviction, rights, clock, round trip, persistence, messages',
  ).action(async (flags) => done(await doctor(flags)));
  return program;
}
