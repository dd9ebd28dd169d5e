// A process that compiles for all tests, see `compiler-setup`.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import type TypeScript from 'typescript';
import type { Compilation } from './typescript.ts';

const require = createRequire(import.meta.url);

/** What is parsed, of each compiler, by all that the result may depend on. */
const parsed = new Map<typeof TypeScript, Map<string, TypeScript.SourceFile>>();

/** Options that what is parsed does not depend on. */
const OF_THE_CHECK = [
  'lib',
  'types',
  'noEmit',
  'skipLibCheck',
  'exactOptionalPropertyTypes',
  'experimentalDecorators',
  'emitDecoratorMetadata',
];

/** Whether a file is of a package that somebody else wrote. */
const isOfOthers = (file: string): boolean =>
  file.includes('/node_modules/') && !file.includes('/@holdfast/');

/**
 * The libraries that a compiler has parsed are kept. The declarations of others are not checked, whose
 * faults are not ours.
 */
function compile({ compiler, folder, words }: Compilation): string {
  const ts = require(compiler) as typeof TypeScript;
  const { options, fileNames, errors } = ts.parseCommandLine([...words]);
  const host = ts.createCompilerHost(options);
  host.getCurrentDirectory = () => folder;
  const files = fileNames.map((name) => join(folder, name));
  const kept = parsed.get(ts) ?? new Map<string, TypeScript.SourceFile>();
  parsed.set(ts, kept);
  // What a file is checked with besides it is no matter of the file's own, nor is what only a check knows.
  const own = { ...options };
  for (const option of OF_THE_CHECK) delete own[option];
  const parse = host.getSourceFile.bind(host);
  host.getSourceFile = (name, how, ...more) => {
    const read = (): TypeScript.SourceFile | undefined => parse(name, how, ...more);
    // Ours differ from project to project.
    if (!isOfOthers(name)) return read();
    const key = JSON.stringify([name, how, own]);
    const file = kept.get(key) ?? read();
    if (file !== undefined) kept.set(key, file);
    return file;
  };
  const program = ts.createProgram(files, options, host);
  const complaints = [
    ...errors,
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...program
      .getSourceFiles()
      .filter(({ fileName }) => !isOfOthers(fileName))
      .flatMap((file) => [
        program.getSyntacticDiagnostics(file),
        program.getSemanticDiagnostics(file),
      ])
      .flat(),
  ];
  if (options.noEmit !== true) complaints.push(...program.emit().diagnostics);
  return ts.formatDiagnostics(ts.sortAndDeduplicateDiagnostics(complaints), host);
}

// While it compiles, nobody is heard, for longer than a server waits for a request.
const server = createServer({ headersTimeout: 0, requestTimeout: 0 }, (request, response) => {
  void json(request)
    .then((asked) => response.end(compile(asked as Compilation)))
    .catch((error: unknown) => response.writeHead(500).end(String((error as Error).stack)));
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.once('disconnect', () => process.exit());
