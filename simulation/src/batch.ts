// A process that runs some seeds, for `runBatches`.
import type { Batch, BatchResult } from './batches.ts';
import { simulateMany } from './many.ts';
import { simulateStacks } from './stack/many.ts';

async function resultOf({
  first,
  seeds,
  misbehaving,
  sizes,
  topologies,
}: Batch): Promise<BatchResult> {
  try {
    if (topologies === undefined) {
      const tally = await simulateMany(first, seeds, { misbehaving, ...sizes });
      return { tally: tally.toJSON(), more: {} };
    }
    return (await simulateStacks(topologies, first, seeds, { misbehaving })).toJSON();
  } catch (error) {
    return { failure: String(error) };
  }
}

process.once('message', (batch) => {
  void resultOf(batch as Batch).then((result) => {
    process.send?.(result);
    process.disconnect();
  });
});
