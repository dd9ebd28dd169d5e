import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import type { Block } from './code.ts';
import { declarationOf } from './fragments.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  typeRoots: [`${repository}node_modules/@types`],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  customConditions: ['@holdfast/source'],
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  noEmit: true,
};

/** Where a block would be a module: in the folder of its page, so that it finds what it imports. */
function fileOf({ page, line }: Block): string {
  const folder = page.startsWith('packages/') || page.startsWith('apps/') ? page : 'docs/page';
  return `${repository}${folder.replace(/\/[^/]*$/, '')}/block-${page.replaceAll(/\W/g, '-')}-${line}.ts`;
}

/** What a fragment may use without an import, as an editor would add it. The first that has a name gives it. */
const MODULES = [
  '@holdfast/core',
  '@holdfast/redis',
  '@holdfast/memcached',
  '@holdfast/express',
  '@holdfast/nestjs',
  '@holdfast/bullmq',
  '@holdfast/testing',
  '@nestjs/common',
  '@nestjs/schedule',
  '@nestjs/bullmq',
  '@nestjs/config',
  '@nestjs/microservices',
  'bullmq',
  'ioredis',
];

const parsed = new Map<string, ts.SourceFile>();

/** What the compiler says of each block, an empty list if nothing. `ambient` declares modules. */
export function compile(
  blocks: readonly Block[],
  ambient: readonly string[],
): Map<Block, readonly string[]> {
  const texts = new Map(blocks.map((block) => [fileOf(block), block.code]));
  const host = ts.createCompilerHost(options, true);
  const readFile = host.readFile.bind(host);
  const fileExists = host.fileExists.bind(host);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getCurrentDirectory = () => repository;
  host.readFile = (file) => texts.get(file) ?? readFile(file);
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.getSourceFile = (file, settings) => {
    const text = texts.get(file);
    if (text !== undefined) return ts.createSourceFile(file, text, settings, true);
    const known = parsed.get(file);
    if (known !== undefined) return known;
    const source = existsSync(file) ? getSourceFile(file, settings) : undefined;
    if (source !== undefined) parsed.set(file, source);
    return source;
  };
  const program = ts.createProgram([...texts.keys(), ...ambient], options, host);
  return new Map(
    blocks.map((block) => {
      const source = program.getSourceFile(fileOf(block));
      const diagnostics = [
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
      ];
      // A file of the reader's own is not there.
      const found = diagnostics.filter(({ code, messageText }) => {
        return !(
          code === 2307 && /module '\.\.?\//.test(ts.flattenDiagnosticMessageText(messageText, ' '))
        );
      });
      return [block, found.map((diagnostic) => lineOf(block, diagnostic))];
    }),
  );
}

/** The module that each name comes from, of all that the modules export. */
function exporters(): Map<string, string> {
  const code = MODULES.map((name, index) => `import * as m${index} from '${name}';`).join('\n');
  const file = `${repository}docs/exporters.ts`;
  const host = ts.createCompilerHost(options, true);
  const readFile = host.readFile.bind(host);
  const fileExists = host.fileExists.bind(host);
  host.readFile = (path) => (path === file ? code : readFile(path));
  host.fileExists = (path) => path === file || fileExists(path);
  const program = ts.createProgram([file], options, host);
  const checker = program.getTypeChecker();
  const found = new Map<string, string>();
  for (const statement of program.getSourceFile(file)?.statements ?? []) {
    if (!ts.isImportDeclaration(statement)) continue;
    const symbol = checker.getSymbolAtLocation(statement.moduleSpecifier);
    const { text } = statement.moduleSpecifier as ts.StringLiteral;
    for (const { name } of symbol === undefined ? [] : checker.getExportsOfModule(symbol)) {
      if (!found.has(name)) found.set(name, text);
    }
  }
  return found;
}

const MISSING = /(?:Cannot find name|shorthand property) '(\w+)'/;
const MEMBER = /Property '(\w+)' does not exist on type '(\w+)'/;

/**
 * The fragments, with what they leave out in front of their first line: what a reader has, and imports.
 * A block of members is one of a class.
 */
export function completed(found: ReadonlyMap<Block, readonly string[]>): Block[] {
  const from = exporters();
  return [...found].map(([block, lines]) => {
    const members = lines.some((line) => / TS1(?:005|146|434) /.test(line));
    const names = new Set(lines.flatMap((line) => MISSING.exec(line)?.[1] ?? []));
    for (const line of lines) {
      const [, member, type] = MEMBER.exec(line) ?? [];
      if (type !== undefined) names.add(`${type}.${member}`);
    }
    // Decorators of members are not found where the block cannot be parsed.
    for (const [, name] of block.code.matchAll(/^@(\w+)/gm)) names.add(name as string);
    const before = [...names].map((name) => {
      const imported = from.has(name) ? `import { ${name} } from '${from.get(name)}';` : '';
      return declarationOf(block.page, name) ?? imported;
    });
    const code = members ? `class Members { ${block.code} }` : block.code;
    const { page, line, language } = block;
    return { page, line, language, code: `${before.join(' ')} ${code}` };
  });
}

function lineOf(
  { page, line }: Block,
  { file, start = 0, messageText, code }: ts.Diagnostic,
): string {
  const at = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line;
  return `${page}:${line + at} TS${code} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
}
