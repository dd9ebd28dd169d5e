import { expect, test } from 'vitest';
import { checkKeyAnswer, isKey, LockArgumentError } from '../src/index.ts';

test.each(['key', ['a', 'b'], null])('a key function may answer %j', (answer) => {
  expect(checkKeyAnswer(answer, 'guard', 'a job')).toBe(answer);
});

test.each([
  [undefined, 'nothing'],
  ['', 'an empty string'],
  [7, 'a number'],
  [[], 'a list without keys or with empty ones'],
  [['a', ''], 'a list without keys or with empty ones'],
  [Object.assign(Array(2), { 0: 'a' }), 'a list without keys or with empty ones'],
  ['x'.repeat(65_537), 'a string of more than 64 kB'],
  [['a', 'x'.repeat(65_537)], 'a list with a key of more than 64 kB'],
])('a key function may not answer %j', (answer, words) => {
  expect(isKey(answer)).toBe(false);
  const check = (): unknown => checkKeyAnswer(answer, 'guard', 'a job', 'Look at its data.');
  expect(check).toThrow(LockArgumentError);
  expect(check).toThrow(
    `guard: the \`key\` function answered ${words}. It must return a non-empty string, a list of ` +
      'them, or null for a job that needs no lock. Look at its data.',
  );
});
