// A loader for Node: functions of the packages say that they were entered.
import { readFile } from 'node:fs/promises';
import type { LoadHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const OURS = /\/packages\/([a-z]+)\/src\/(.+\.ts)$/;

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  experimentalDecorators: true,
  verbatimModuleSyntax: true,
};

/** Compiles the sources of our packages itself, and leaves everything else to the next loader. */
export const load: LoadHook = async (url, context, nextLoad) => {
  const [path = url] = url.split('?');
  const [, name, file] = OURS.exec(path) ?? [];
  if (name === undefined || file === undefined) return nextLoad(url, context);
  const source = await readFile(fileURLToPath(path), 'utf8');
  const code = instrument(`${name}/${file}`, source);
  const { outputText } = ts.transpileModule(code, { compilerOptions: options, fileName: path });
  return { format: 'module', shortCircuit: true, source: outputText };
};

function instrument(file: string, source: string): string {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const insertions: { at: number; text: string }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const { body } = node;
      const entered = `globalThis.holdfastEntered(${JSON.stringify(file)}, ${JSON.stringify(nameOf(node))})`;
      if (ts.isBlock(body)) {
        insertions.push({ at: body.getStart() + 1, text: `${entered};` });
      } else {
        insertions.push({ at: body.getStart(), text: `(${entered}, ` });
        insertions.push({ at: body.end, text: ')' });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  let code = source;
  for (const { at, text } of insertions.toSorted((a, b) => b.at - a.at)) {
    code = code.slice(0, at) + text + code.slice(at);
  }
  return code;
}

/** As a reader would call it: the method of its class, the variable it is in, or who it is a callback of. */
function nameOf(node: ts.Node): string {
  const { parent } = node;
  if (ts.isConstructorDeclaration(node)) return `new ${ownerOf(node)}`;
  if (ts.isGetAccessor(node)) return `${ownerOf(node)}.${node.name.getText()} (get)`;
  if (ts.isSetAccessor(node)) return `${ownerOf(node)}.${node.name.getText()} (set)`;
  if (ts.isMethodDeclaration(node)) {
    const owner = ownerOf(node);
    return owner === '' ? node.name.getText() : `${owner}.${node.name.getText()}`;
  }
  if (ts.isFunctionDeclaration(node) && node.name !== undefined) return node.name.text;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) {
    return parent.name.getText();
  }
  if (ts.isPropertyDeclaration(parent)) return `${ownerOf(parent)}.${parent.name.getText()}`;
  let outer: ts.Node = parent;
  while (!ts.isFunctionLike(outer) && !ts.isSourceFile(outer)) outer = outer.parent;
  return ts.isSourceFile(outer) ? '(callback)' : `(callback in ${nameOf(outer)})`;
}

function ownerOf(member: ts.Node): string {
  return ts.isClassLike(member.parent) ? (member.parent.name?.text ?? 'class') : '';
}
