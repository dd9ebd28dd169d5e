/** What became of one of many requests. */
type Answer<T> = T | Error;

/**
 * Collects the answers to requests to several servers. As soon as one server has answered, the next
 * answer may take only so long: a server that does not answer costs its own locks, and no others.
 *
 * @param patience how long after an answer the next may take, in ms
 */
export function together<T>(
  requests: readonly Promise<T>[],
  patience: number,
): Promise<readonly Answer<T>[]> {
  const answers = Array<Answer<T> | undefined>(requests.length);
  let open = requests.length;
  let lastAt = 0;
  let timer: NodeJS.Timeout | undefined;
  return new Promise((resolve) => {
    const end = (): void => {
      open = 0;
      clearTimeout(timer);
      resolve(answers.map((answer) => answer ?? new Error(SILENT)));
    };
    const look = (ms: number): void => {
      // After what has arrived by then has been read.
      timer = setTimeout(() => setImmediate(giveUp), ms);
    };
    const giveUp = (): void => {
      if (open === 0) return;
      const left = lastAt + patience - performance.now();
      if (left > 0) look(left);
      else end();
    };
    const settle = (place: number, answer: Answer<T>): void => {
      if (open === 0) return;
      answers[place] = answer;
      open -= 1;
      lastAt = performance.now();
      if (open === 0) end();
      else if (timer === undefined) look(patience);
    };
    if (open === 0) end();
    for (const [place, request] of requests.entries()) {
      request.then(
        (answer) => settle(place, answer),
        (error: unknown) =>
          settle(place, error instanceof Error ? error : new Error(String(error))),
      );
    }
  });
}

const SILENT = 'A memcached server did not answer, while others did.';
