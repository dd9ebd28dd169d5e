// The page's script and style, made from ui/. This module makes them when the sources are used as they
// are, in our tests; the build puts what it has made here instead.
import { buildUi } from '../ui/build.ts';

export const { script, style } = await buildUi();
