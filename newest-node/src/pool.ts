import type { PoolOptions, PoolRunnerInitializer } from 'vitest/node';
import { ForksPoolWorker } from 'vitest/node';

const POOL = 'other-node';

/** A process of another Node for test files. */
class OtherNodeWorker extends ForksPoolWorker {
  /** That of the pool: a worker of another name is not used for a second file. */
  override readonly name = POOL;

  constructor(
    options: PoolOptions,
    private readonly binary: string,
  ) {
    super(options);
  }

  override async start(): Promise<void> {
    // What `fork` runs, and it reads this at once.
    const { execPath } = process;
    process.execPath = this.binary;
    const started = super.start();
    process.execPath = execPath;
    await started;
  }
}

/** Runs the tests of a project on another Node: `pool: onNode(newestNode)`. */
export function onNode(binary: string): PoolRunnerInitializer {
  return {
    name: POOL,
    createPoolWorker: (options) => new OtherNodeWorker(options, binary),
  };
}
