/**
 * A client of one Redis or Valkey server: what Holdfast needs of the `GlideClient` of GLIDE 2
 * (`@valkey/valkey-glide`). It is the user's: Holdfast never closes it.
 */
export interface GlideClient {
  // The arguments are of types of GLIDE's own.
  // oxlint-disable-next-line typescript/no-explicit-any
  customCommand(args: string[], options?: any): Promise<unknown>;
  // oxlint-disable-next-line typescript/no-explicit-any
  invokeScript(script: any, options?: any): Promise<unknown>;
  getStatistics(): object;
  close(reason?: string): void;
}

/** A client of a Cluster: what Holdfast needs of the `GlideClusterClient` of GLIDE 2. */
export interface GlideClusterClient extends GlideClient {
  // oxlint-disable-next-line typescript/no-explicit-any
  invokeScriptWithRoute(script: any, options?: any): Promise<unknown>;
}
