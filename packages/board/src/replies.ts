const SECURITY: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

export function reply(
  body: string | ReadableStream<Uint8Array> | null,
  type: string,
  more: Record<string, string> = {},
  status = 200,
): Response {
  const headers = { ...SECURITY, 'cache-control': 'no-store', 'content-type': type, ...more };
  return new Response(body, { status, headers });
}

export function json(value: unknown, status = 200): Response {
  return reply(JSON.stringify(value), 'application/json', {}, status);
}

/** As of RFC 9457. */
export function problem(status: number, title: string): Response {
  return reply(JSON.stringify({ status, title }), 'application/problem+json', {}, status);
}

/** Relative, for who knows what is in front of us. */
export function withSlash(pathname: string): Response {
  const last = pathname.slice(pathname.lastIndexOf('/') + 1);
  return reply(null, 'text/plain', { location: `./${last}/` }, 308);
}
