export { guard } from './guard.ts';
export type {
  Guard,
  GuardedProcessor,
  GuardOptions,
  LockedOutcome,
  OrderJob,
  OrderOptions,
  OrderQueue,
  OrderRedis,
  StrictGuardOptions,
} from './types.ts';
