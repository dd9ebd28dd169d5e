import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a run with one line that says how it went, for people and for programs. Before it come the tests
 * that passed only when they were tried again: each of them is a fault, of the test or of what it tests.
 */
export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      // A file that cannot be loaded, or a hook that fails, is a failure without a test.
      if (!module.ok() && module.state() === 'failed') counts.failed += module.errors().length;
      for (const test of module.children.allTests()) {
        counts[test.result().state] += 1;
        if (test.diagnostic()?.flaky === true) {
          process.stdout.write(
            `FLAKY ${module.project.name} ${module.relativeModuleId} > ${test.fullName}\n`,
          );
        }
      }
    }
    const skipped = counts.skipped + counts.pending;
    process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${skipped} skipped\n`);
  }
}
