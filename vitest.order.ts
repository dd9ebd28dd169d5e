import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Project by project, so that a worker keeps what it has imported. Those of few files come first: they
 * are the ones that take a minute for a file, and the last thing a run waits for should be short.
 */
export default class Order extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const projects = new Map<string, TestSpecification[]>();
    // oxlint-disable-next-line unicorn/no-array-sort -- not that of arrays
    for (const file of await super.sort(files)) {
      const { name } = file.project;
      projects.set(name, [...(projects.get(name) ?? []), file]);
    }
    return [...projects.values()].toSorted((a, b) => a.length - b.length).flat();
  }
}
