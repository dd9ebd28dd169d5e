/** What a check found. */
export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail' | 'skipped';
  readonly message: string;
  /** What to do, unless all is well. */
  readonly advice?: string | undefined;
}

export const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message });

export const skipped = (check: string, message: string): Finding => ({
  check,
  status: 'skipped',
  message,
});

export const warn = (check: string, message: string, advice: string): Finding => ({
  check,
  status: 'warn',
  message,
  advice,
});

export const fail = (check: string, message: string, advice: string): Finding => ({
  check,
  status: 'fail',
  message,
  advice,
});
