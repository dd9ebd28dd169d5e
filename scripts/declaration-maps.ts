/**
 * Writes a map beside each bundled declaration of the package in the current folder, so that an editor
 * goes from a name to its source, which is in the package too. What bundles the declarations makes none.
 */
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** A declared name: of a member `Lock.release`, else `Lock`. */
interface Declared {
  readonly path: string;
  readonly name: ts.Node;
  readonly exported: boolean;
}

function membersOf(node: ts.Node): readonly (ts.ClassElement | ts.TypeElement)[] {
  if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) return [...node.members];
  if (ts.isTypeAliasDeclaration(node) && ts.isTypeLiteralNode(node.type)) {
    return [...node.type.members];
  }
  return [];
}

/** All names that a file declares at its top, and those of their members, in order. */
function* declaredIn(file: ts.SourceFile): Generator<Declared> {
  for (const statement of file.statements) {
    const exported =
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true;
    const nodes = ts.isVariableStatement(statement)
      ? [...statement.declarationList.declarations]
      : [statement];
    for (const node of nodes) {
      const { name } = node as { name?: ts.Node };
      if (name === undefined || !ts.isIdentifier(name)) continue;
      yield { path: name.text, name, exported };
      for (const member of membersOf(node)) {
        if (member.name === undefined) continue;
        yield { path: `${name.text}.${member.name.getText(file)}`, name: member.name, exported };
      }
    }
  }
}

const parse = (path: string): ts.SourceFile =>
  ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);

/** Where the sources declare each name; of several files with one of that name, those that export it. */
function originals(): Map<string, ts.Node[]> {
  const found = new Map<string, Declared[]>();
  for (const file of readdirSync('src', { recursive: true, encoding: 'utf8' }).toSorted()) {
    if (!file.endsWith('.ts')) continue;
    for (const declared of declaredIn(parse(join('src', file)))) {
      found.set(declared.path, [...(found.get(declared.path) ?? []), declared]);
    }
  }
  const chosen = new Map<string, ts.Node[]>();
  for (const [path, all] of found) {
    const exported = all.filter((one) => one.exported);
    const names = (exported.length > 0 ? exported : all).map(({ name }) => name);
    const files = new Set(names.map((name) => name.getSourceFile()));
    // Of two, nobody could tell which is meant.
    if (files.size === 1) chosen.set(path, names);
  }
  return chosen;
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** A number as source maps write it: base 64, the least significant five bits first, the sign in front. */
function vlq(value: number): string {
  let rest = value < 0 ? (-value << 1) | 1 : value << 1;
  let text = '';
  do {
    const digit = rest & 31;
    rest >>>= 5;
    text += DIGITS[rest > 0 ? digit | 32 : digit];
  } while (rest > 0);
  return text;
}

/** The map of a bundled declaration: the start and the end of each name. */
function mapOf(file: ts.SourceFile, sources: ReadonlyMap<string, readonly ts.Node[]>): object {
  const files: string[] = [];
  const lines: string[][] = [];
  const seen = new Map<string, number>();
  let last = { source: 0, line: 0, character: 0 };
  let column = 0;
  for (const { path, name } of declaredIn(file)) {
    const index = seen.get(path) ?? 0;
    seen.set(path, index + 1);
    const found = sources.get(path);
    // Of overloads each its own; what is bundled has no implementation besides.
    const original = found?.[Math.min(index, found.length - 1)];
    if (original === undefined) continue;
    const from = original.getSourceFile();
    if (!files.includes(from.fileName)) files.push(from.fileName);
    const source = files.indexOf(from.fileName);
    for (const end of [false, true]) {
      const here = file.getLineAndCharacterOfPosition(end ? name.end : name.getStart(file));
      const there = from.getLineAndCharacterOfPosition(
        end ? original.end : original.getStart(from),
      );
      while (lines.length <= here.line) {
        lines.push([]);
        column = 0;
      }
      const parts = [
        here.character - column,
        source - last.source,
        there.line - last.line,
        there.character - last.character,
      ];
      lines[here.line]?.push(parts.map(vlq).join(''));
      column = here.character;
      last = { source, ...there };
    }
  }
  const mappings = lines.map((segments) => segments.join(',')).join(';');
  return { version: 3, file: 'index.d.ts', sources: files.map((one) => `../${one}`), mappings };
}

const sources = originals();
for (const file of ['index.d.ts', 'index.d.cts']) {
  const path = join('dist', file);
  if (!existsSync(path)) continue;
  const map = mapOf(parse(path), sources);
  writeFileSync(`${path}.map`, JSON.stringify({ ...map, file }));
  appendFileSync(path, `//# sourceMappingURL=${file}.map\n`);
}
