export { getLock } from './get-lock.ts';
export { lockRoute } from './lock-route.ts';
export type { PathParams, PathRequest } from './path-params.ts';
export type {
  LockedHandler,
  LockRoute,
  LockRouteOptions,
  Middleware,
  PerRequest,
  RouteLockOptions,
  RouteRequest,
  StrictLockRouteOptions,
} from './types.ts';
