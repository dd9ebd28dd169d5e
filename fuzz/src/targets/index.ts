import type { TargetKind } from '../target.ts';
import { expressRequests } from './express-requests.ts';
import { jobs } from './jobs.ts';
import { memcachedItems } from './memcached-items.ts';
import { memcachedReplies } from './memcached-replies.ts';
import { nestRequests } from './nest-requests.ts';
import { redisMessages } from './redis-messages.ts';
import { quorumValues, redisValues } from './redis-values.ts';

/** All that hears from outside. */
export const targets: readonly TargetKind[] = [
  redisMessages,
  redisValues,
  quorumValues,
  memcachedItems,
  memcachedReplies,
  expressRequests,
  nestRequests,
  jobs,
];
