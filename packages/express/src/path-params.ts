import type { Request } from 'express';

/** The name at the start of what follows a `:` or `*`. */
type Name<S extends string> =
  S extends `${infer Before}${'/' | '.' | '-' | '(' | '{' | '}' | '?' | ':' | '*'}${string}`
    ? Name<Before>
    : S;

type After<S extends string> = S extends `${Name<S>}${infer Rest}` ? Rest : '';

/** A wildcard is the list of its segments, as in Express 5. */
type Wildcards<Path extends string> = Path extends `${string}*${infer Rest}`
  ? (Name<Rest> extends '' ? unknown : { [K in Name<Rest>]: string[] }) & Wildcards<After<Rest>>
  : unknown;

/** `:id?` of Express 4 may be absent. */
type Param<Rest extends string> =
  After<Rest> extends `?${string}`
    ? { [K in Name<Rest>]?: string | undefined }
    : { [K in Name<Rest>]: string };

type Parts<Path extends string> = Path extends `${infer Before}{${infer Optional}}${infer Rest}`
  ? Parts<Before> & Partial<Parts<Optional>> & Parts<Rest>
  : Path extends `${infer Before}:${infer Rest}`
    ? Wildcards<Before> & Param<Rest> & Parts<After<Rest>>
    : Wildcards<Path>;

/** The parameters that a path names: `{ id: string }` for `'/orders/:id'`. */
export type PathParams<Path extends string> = string extends Path
  ? Record<string, string>
  : { [K in keyof Parts<Path>]: Parts<Path>[K] };

/** A request of a path. */
export type PathRequest<Path extends string> = Request<PathParams<Path>>;
