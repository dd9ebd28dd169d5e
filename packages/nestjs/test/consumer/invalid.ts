// What must not compile. Each line that is marked has an error, with the message that the test expects.
import { createLocker } from '@holdfast/core';
import { LockModule, UseLock, WithLock } from '@holdfast/nestjs';

export class Service {
  @WithLock((id: number) => `order:${id}`) // key
  async wrongType(_id: string): Promise<void> {}

  @WithLock((id: string, amount: number) => `order:${id}:${amount}`) // key
  async tooMany(_id: string): Promise<void> {}

  @WithLock((dto: { id: string }) => dto.id) // key
  async wrongShape(_dto: { name: string }): Promise<void> {}

  @WithLock((id: string) => `order:${id}`) // key
  async maybe(_id: string | undefined): Promise<void> {}

  @WithLock('constant') // result
  synchronous(): string {
    return 'value';
  }

  @WithLock('constant') // result
  nothing(): void {}

  @WithLock('constant') // result
  either(): string | Promise<string> {
    return 'value';
  }

  @WithLock('constant') // result
  *generator(): Generator<number> {
    yield 1;
  }

  @WithLock((id: string) => Number(id)) // argument
  async keyIsNumber(_id: string): Promise<void> {}

  @WithLock((id: string) => (id === '' ? undefined : id)) // argument
  async keyIsUndefined(_id: string): Promise<void> {}

  @WithLock('constant', { wait: null }) // argument
  async badOption(): Promise<void> {}

  @WithLock('constant', { onLocked: 'retry' }) // argument
  async badReaction(): Promise<void> {}

  @WithLock('constant', { onLocked: 'skip' }) // skip
  async skipped(): Promise<number> {
    return 1;
  }

  @WithLock('constant', { onLocked: () => 'text' }) // instead
  async insteadOfNumber(): Promise<number> {
    return 1;
  }

  @WithLock('constant', { onLocked: (error) => error.code }) // instead
  async codeOfNumber(): Promise<number> {
    return 1;
  }

  @WithLock('constant', { wiat: 5 }) // literal
  async misspelt(): Promise<void> {}

  @UseLock((context) => context.getArgs().length) // argument
  badRequestKey(): void {}
}

LockModule.forRoot({ locker: createLocker(), ttl: 5_000 }); // argument
LockModule.forRoot({ locker: null }); // argument
