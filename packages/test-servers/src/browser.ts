import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, onTestFinished } from 'vitest';
import { CHROMIUM_ARGS } from './chromium-args.ts';

interface PageOptions {
  readonly dark?: boolean;
  readonly width?: number;
  readonly headers?: Record<string, string>;
  /** Where all that the page asks for must be. @default its own address */
  readonly within?: string;
}

/** A browser for the test file. Every page fails its test that breaks a rule of its policy, or throws. */
export function useBrowser(): (url: string, options?: PageOptions) => Promise<Page> {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: inject('chromium'),
      args: [...CHROMIUM_ARGS],
    });
  });
  afterAll(() => browser.close());
  return async (url, { dark = false, width = 1280, headers = {}, within = url } = {}) => {
    const context = await browser.newContext({
      colorScheme: dark ? 'dark' : 'light',
      viewport: { width, height: 900 },
      extraHTTPHeaders: headers,
      reducedMotion: 'reduce',
    });
    const page = await context.newPage();
    const complaints: string[] = [];
    const elsewhere: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      // The browser itself reports each answer that is an error.
      const { url: source } = message.location();
      if (message.type() === 'error' && !source.includes('/api/')) complaints.push(message.text());
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(within)) elsewhere.push(request.url());
    });
    onTestFinished(async () => {
      await context.close();
      expect(complaints).toEqual([]);
      expect(elsewhere).toEqual([]);
    });
    await page.goto(url);
    return page;
  };
}
