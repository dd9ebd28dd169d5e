import type { ServerResponse } from 'node:http';
import type { Use } from './lock-use.ts';

/** Where Nest keeps which parameters of a handler it fills in, and with what. */
const ROUTE_ARGUMENTS = '__routeArguments__';
const PASSTHROUGH = '__responsePassthrough__';
/** Nest's numbers for `@Res()` and `@Next()`. */
const RESPONSE = 1;
const NEXT = 2;

interface OwnResponse {
  /** Of the handler's parameter that is the response; absent if it only has `next`. */
  readonly index: number | undefined;
}

const known = new WeakMap<object, Map<string | symbol, OwnResponse | undefined>>();

/** Tells of a route's handler that it sends the response itself, with `@Res()` or `@Next()`. */
export function ownResponseOf(type: object, property: string | symbol): OwnResponse | undefined {
  const ofType = known.get(type) ?? new Map<string | symbol, OwnResponse | undefined>();
  known.set(type, ofType);
  if (!ofType.has(property)) ofType.set(property, readOwnResponse(type, property));
  return ofType.get(property);
}

function readOwnResponse(type: object, property: string | symbol): OwnResponse | undefined {
  const read = (key: string): unknown => Reflect.getMetadata(key, type, property);
  const filled = (read(ROUTE_ARGUMENTS) ?? {}) as Record<string, { index: number }>;
  if (read(PASSTHROUGH) === true) return undefined;
  // The keys are `<number of the kind>:<index>`.
  const ofKind = (kind: number): { index: number } | undefined =>
    Object.entries(filled).find(([key]) => key.startsWith(`${kind}:`))?.[1];
  const response = ofKind(RESPONSE);
  return response === undefined && ofKind(NEXT) === undefined
    ? undefined
    : { index: response?.index };
}

/** Node's response, given it or Fastify's reply, or nothing if it is neither. */
export function rawResponseOf(response: unknown): ServerResponse | undefined {
  const raw = (response as { raw?: unknown } | null | undefined)?.raw ?? response;
  const { writableEnded, on, once, off } = (raw ?? {}) as Partial<ServerResponse>;
  // A unit test may pass a mock, which never says that it has ended.
  const listens = [on, once, off].every((method) => typeof method === 'function');
  return listens && typeof writableEnded === 'boolean' ? (raw as ServerResponse) : undefined;
}

/** The response among a method's arguments, if it is a handler that sends it itself and has not yet. */
export function openResponseAmong(
  self: unknown,
  property: string | symbol,
  args: readonly unknown[],
): ServerResponse | undefined {
  const own = ownResponseOf((self as object).constructor, property);
  if (own?.index === undefined) return undefined;
  const response = rawResponseOf(args[own.index]);
  return response === undefined || response.writableEnded ? undefined : response;
}

/** Holds the lock until the response has been ended by whoever sends it. */
export function followResponse(response: ServerResponse, use: Use): void {
  const ended = (): void => {
    response.off('prefinish', ended).off('finish', ended).off('close', closed);
    void use.end();
  };
  const closed = (): void => {
    if (response.writableEnded) ended();
    // The client went away, and who would have sent the response may not know it yet.
    else use.leave();
  };
  if (response.destroyed) closed();
  response.on('prefinish', ended).on('finish', ended).on('close', closed);
}
