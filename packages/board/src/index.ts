export { board, type Board } from './board.ts';
export {
  toExpress,
  toFastify,
  toHono,
  toKoa,
  toNest,
  type ExpressRequest,
  type FastifyLike,
  type FastifyReplyLike,
  type FastifyRequestLike,
  type KoaContextLike,
} from './mounts.ts';
export type { BoardAction, BoardContext, BoardOptions, BoardRelease } from './options.ts';
