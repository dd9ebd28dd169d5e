import { defineConfig } from 'tsup';
import { library } from '../../tsup.base.ts';
import { buildUi } from './ui/build.ts';

export default defineConfig({
  ...library,
  esbuildPlugins: [
    {
      name: 'ui-bundle',
      setup(build) {
        build.onLoad({ filter: /src[\\/]ui-bundle\.ts$/ }, async () => {
          const { script, style } = await buildUi();
          const code = `export const script = ${JSON.stringify(script)};\nexport const style = ${JSON.stringify(style)};\n`;
          return { contents: code, loader: 'js' };
        });
      },
    },
  ],
});
