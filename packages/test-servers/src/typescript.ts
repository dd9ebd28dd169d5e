import { createRequire } from 'node:module';
import { join } from 'node:path';
import type TypeScript from 'typescript';

const require = createRequire(import.meta.url);

/** What is parsed, of each compiler, by all options that the result may depend on. */
const parsed = new Map<typeof TypeScript, Map<string, TypeScript.SourceFile>>();

/** Whether a file is of a package that somebody else wrote. */
const isOfOthers = (file: string): boolean =>
  file.includes('/node_modules/') && !file.includes('/@holdfast/');

/**
 * What a compiler complains of in our packages and in the project, in the words and with the options of its
 * command line; empty if it does not. It stays in this process with the libraries that it has parsed: to load
 * both, and to run code that is not optimised yet, takes most of the time of the command. So does a check of
 * the declarations of others, whose faults are not ours.
 *
 * @param compiler the folder of a `typescript`
 * @param folder of the project, in which the files are
 */
export function compile(compiler: string, folder: string, words: readonly string[]): string {
  const ts = require(compiler) as typeof TypeScript;
  const { options, fileNames, errors } = ts.parseCommandLine([...words]);
  const host = ts.createCompilerHost(options);
  host.getCurrentDirectory = () => folder;
  const files = fileNames.map((name) => join(folder, name));
  const kept = parsed.get(ts) ?? new Map<string, TypeScript.SourceFile>();
  parsed.set(ts, kept);
  // What a file is checked with besides it is no matter of the file's own.
  const own = { ...options, lib: undefined, types: undefined, noEmit: undefined };
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
