export { board, type Board } from './board.ts';
export {
  toExpress,
  toFastify,
  toHono,
  toKoa,
  toNest,
  type FastifyLike,
  type FastifyReplyLike,
  type FastifyRequestLike,
  type KoaContextLike,
  type NodeRequestLike,
  type NodeResponseLike,
} from './mounts.ts';
export type { BoardAction, BoardContext, BoardOptions, BoardRelease } from './options.ts';
