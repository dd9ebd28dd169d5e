import { LuaApi } from 'wasmoon-lua5.1';

// Lua 5.1 itself, compiled to WebAssembly: as in Redis numbers are doubles, and a script sees them so.
// It is used by its C functions, because a script makes many small calls.

/** What a command or a script answers. Texts are bytes, one per character. */
export type Reply = string | number | null | Status | ReplyError | readonly Reply[];

export class Status {
  static readonly ok = new Status('OK');

  constructor(readonly text: string) {}
}

/** What a server refuses: begins with a code. */
export class ReplyError {
  constructor(readonly message: string) {}
}

/** Runs one command that a script calls. */
export type CommandRunner = (words: string[]) => Reply;

/** What the compiled Lua is used by, other than its functions. */
interface LuaModule {
  readonly HEAPU8: Uint8Array;
  addFunction(run: (state: number) => number, signature: string): number;
}

/** Functions of Lua's C interface. */
interface Lua {
  malloc(size: number): number;
  free(pointer: number): void;
  luaL_newstate(): number;
  luaL_openlibs(state: number): void;
  luaL_loadbuffer(state: number, text: number, size: number, name: number): number;
  luaL_ref(state: number, table: number): number;
  lua_pcall(state: number, args: number, results: number, handler: number): number;
  lua_error(state: number): number;
  lua_gettop(state: number): number;
  lua_settop(state: number, index: number): void;
  lua_type(state: number, index: number): number;
  lua_toboolean(state: number, index: number): number;
  lua_tonumber(state: number, index: number): number;
  lua_tolstring(state: number, index: number, size: number): number;
  lua_pushboolean(state: number, value: number): void;
  lua_pushnumber(state: number, value: number): void;
  lua_pushlstring(state: number, text: number, size: number): void;
  lua_pushcclosure(state: number, run: number, values: number): void;
  lua_createtable(state: number, list: number, fields: number): void;
  lua_rawget(state: number, index: number): void;
  lua_rawset(state: number, index: number): void;
  lua_rawgeti(state: number, index: number, at: number): void;
  lua_rawseti(state: number, index: number, at: number): void;
  lua_setfield(state: number, index: number, name: number): void;
}

const REGISTRY = -10_000;
const GLOBALS = -10_002;
const [NUMBER, STRING, TABLE, BOOLEAN] = [3, 4, 5, 1];
/** The longest text that is passed without asking for memory. */
const SCRATCH = 65_536;

/** A Lua state that runs the scripts of all simulated servers, one at a time. */
export class LuaRuntime {
  private readonly lua: Lua;
  private readonly state: number;
  private readonly scratch: number;
  private readonly size: number;
  private readonly names: Readonly<Record<'KEYS' | 'ARGV', number>>;
  private heap: Buffer;
  /** By source: a reference to the compiled script. */
  private readonly compiled = new Map<string, number>();
  private runCommand: CommandRunner = () => {
    throw new Error('No script is running.');
  };
  /** Thrown by a command that the model does not know: no error of a script. */
  private broken: unknown;

  static async start(): Promise<LuaRuntime> {
    const { module } = await LuaApi.initialize();
    return new LuaRuntime(module);
  }

  private constructor(private readonly module: LuaModule) {
    // The compiler of WebAssembly puts an underscore before each.
    const functions = Object.entries(module)
      .filter(([name]) => name.startsWith('_'))
      .map(([name, run]) => [name.slice(1), run as unknown]);
    const lua = Object.fromEntries(functions) as Lua;
    this.lua = lua;
    this.state = lua.luaL_newstate();
    this.scratch = lua.malloc(SCRATCH);
    this.size = lua.malloc(8);
    this.heap = Buffer.from(module.HEAPU8.buffer);
    lua.luaL_openlibs(this.state);
    this.names = { KEYS: this.constant('KEYS'), ARGV: this.constant('ARGV') };
    lua.lua_createtable(this.state, 0, 2);
    this.define('call', true);
    this.define('pcall', false);
    lua.lua_setfield(this.state, GLOBALS, this.constant('redis'));
  }

  /** Runs a script, as a server does: what it fails with is a reply. */
  run(source: string, keys: readonly string[], argv: readonly string[], run: CommandRunner): Reply {
    const { lua, state } = this;
    const script = this.compile(source);
    if (script instanceof ReplyError) return script;
    this.runCommand = run;
    this.pushTexts(keys);
    lua.lua_setfield(state, GLOBALS, this.names.KEYS);
    this.pushTexts(argv);
    lua.lua_setfield(state, GLOBALS, this.names.ARGV);
    lua.lua_rawgeti(state, REGISTRY, script);
    const failed = lua.lua_pcall(state, 0, 1, 0) !== 0;
    if (this.broken !== undefined) throw this.broken;
    const reply = failed ? this.readError() : this.read();
    lua.lua_settop(state, 0);
    return reply;
  }

  private compile(source: string): number | ReplyError {
    const known = this.compiled.get(source);
    if (known !== undefined) return known;
    const { lua, state } = this;
    const bytes = Buffer.from(source);
    const text = lua.malloc(bytes.length);
    this.memory().set(bytes, text);
    const failed = lua.luaL_loadbuffer(state, text, bytes.length, this.constant('@user_script'));
    lua.free(text);
    if (failed !== 0) {
      const message = this.readText(state, -1);
      lua.lua_settop(state, 0);
      return new ReplyError(`ERR Error compiling script (new function): ${message}`);
    }
    const reference = lua.luaL_ref(state, REGISTRY);
    this.compiled.set(source, reference);
    return reference;
  }

  /** `redis.call`, which throws what a command fails with, or `redis.pcall`, which answers it. */
  private define(name: string, throws: boolean): void {
    const { lua } = this;
    const called = (state: number): number => {
      const words: string[] = [];
      const count = lua.lua_gettop(state);
      for (let index = 1; index <= count; index++) words.push(this.readWord(state, index));
      let reply: Reply;
      try {
        reply = this.runCommand(words);
      } catch (error) {
        this.broken = error;
        reply = new ReplyError('ERR the model is broken');
      }
      this.push(state, reply);
      return throws && reply instanceof ReplyError ? lua.lua_error(state) : 1;
    };
    this.pushText(this.state, name);
    lua.lua_pushcclosure(this.state, this.module.addFunction(called, 'ii'), 0);
    lua.lua_rawset(this.state, -3);
  }

  private push(state: number, reply: Reply): void {
    const { lua } = this;
    if (reply === null) lua.lua_pushboolean(state, 0);
    else if (typeof reply === 'string') this.pushText(state, reply);
    else if (typeof reply === 'number') lua.lua_pushnumber(state, reply);
    else if (reply instanceof Status) this.pushField(state, 'ok', reply.text);
    else if (reply instanceof ReplyError) this.pushField(state, 'err', reply.message);
    else {
      lua.lua_createtable(state, reply.length, 0);
      for (const [index, one] of reply.entries()) {
        this.push(state, one);
        lua.lua_rawseti(state, -2, index + 1);
      }
    }
  }

  private pushField(state: number, name: string, text: string): void {
    this.lua.lua_createtable(state, 0, 1);
    this.pushText(state, name);
    this.pushText(state, text);
    this.lua.lua_rawset(state, -3);
  }

  private pushTexts(texts: readonly string[]): void {
    const { lua, state } = this;
    lua.lua_createtable(state, texts.length, 0);
    for (const [index, text] of texts.entries()) {
      this.pushText(state, text);
      lua.lua_rawseti(state, -2, index + 1);
    }
  }

  private pushText(state: number, text: string): void {
    if (text.length > SCRATCH) throw new Error('A text is too long for the model.');
    this.memory().write(text, this.scratch, 'latin1');
    this.lua.lua_pushlstring(state, this.scratch, text.length);
  }

  /** An argument of a command: Redis prints numbers so that none of their digits is lost. */
  private readWord(state: number, index: number): string {
    const type = this.lua.lua_type(state, index);
    if (type === NUMBER) return String(this.lua.lua_tonumber(state, index));
    if (type !== STRING) throw new Error('Arguments of commands must be strings or numbers.');
    return this.readText(state, index);
  }

  private readText(state: number, index: number): string {
    const text = this.lua.lua_tolstring(state, index, this.size);
    const memory = this.memory();
    return memory.toString('latin1', text, text + memory.readUInt32LE(this.size));
  }

  /** What a script has returned, which is on top of the stack. */
  private read(): Reply {
    const { lua, state } = this;
    switch (lua.lua_type(state, -1)) {
      case NUMBER:
        return Math.trunc(lua.lua_tonumber(state, -1));
      case STRING:
        return this.readText(state, -1);
      case BOOLEAN:
        return lua.lua_toboolean(state, -1) === 0 ? null : 1;
      case TABLE:
        return this.readTable();
      default:
        return null;
    }
  }

  private readTable(): Reply {
    const { lua, state } = this;
    const error = this.readField('err');
    if (error !== undefined) return new ReplyError(error);
    const status = this.readField('ok');
    if (status !== undefined) return new Status(status);
    const replies: Reply[] = [];
    for (let index = 1; ; index++) {
      lua.lua_rawgeti(state, -1, index);
      const isEnd = lua.lua_type(state, -1) === 0;
      if (!isEnd) replies.push(this.read());
      lua.lua_settop(state, -2);
      if (isEnd) return replies;
    }
  }

  private readField(name: string): string | undefined {
    const { lua, state } = this;
    this.pushText(state, name);
    lua.lua_rawget(state, -2);
    const text = lua.lua_type(state, -1) === STRING ? this.readText(state, -1) : undefined;
    lua.lua_settop(state, -2);
    return text;
  }

  private readError(): ReplyError {
    const thrown = this.lua.lua_type(this.state, -1) === TABLE ? this.readField('err') : undefined;
    const message = thrown ?? `ERR ${this.readText(this.state, -1)}`;
    return new ReplyError(`${message} script: on @user_script`);
  }

  private constant(text: string): number {
    const pointer = this.lua.malloc(text.length + 1);
    this.memory().write(`${text}\0`, pointer, 'latin1');
    return pointer;
  }

  /** It moves when it grows. */
  private memory(): Buffer {
    const { buffer } = this.module.HEAPU8;
    if (this.heap.buffer !== buffer) this.heap = Buffer.from(buffer);
    return this.heap;
  }
}
