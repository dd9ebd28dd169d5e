import { fileURLToPath } from 'node:url';
import { Application, Converter, ReflectionKind, type Context } from 'typedoc';

const repository = fileURLToPath(new URL('../../', import.meta.url));

/** Writes the reference of each package, from its doc comments, into `docs/api/<package>.md`. */
export async function writeApi(packages: readonly string[], source: string): Promise<void> {
  const options = {
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: packages.map((name) => `${repository}packages/${name}/src/index.ts`),
    tsconfig: `${repository}docs/site/tsconfig.json`,
    basePath: repository,
    // The type checker has its own step in the continuous integration.
    skipErrorChecking: true,
    readme: 'none',
    disableGit: true,
    sourceLinkTemplate: `${source}/blob/main/{path}#L{line}`,
    excludeInternal: true,
    excludeExternals: true,
    excludePrivate: true,
    githubPages: false,
    logLevel: 'Error' as const,
    // Emptied first: never the default, which is `docs` itself.
    outputs: [{ name: 'markdown', path: `${repository}docs/api` }],
    // Of the plugin: one page for each package, without a frame.
    router: 'module',
    useHTMLAnchors: true,
    hideBreadcrumbs: true,
    hidePageHeader: true,
    entryFileName: 'index',
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    enumMembersFormat: 'table',
  };
  const app = await Application.bootstrapWithPlugins(options);
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }: Context) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      module.name = module.name.replace(/(?:^|.*\/)([\w-]+)\/src(?:\/index)?$/, '$1');
    }
  });
  const project = await app.convert();
  if (project === undefined) throw new Error('the API reference cannot be made');
  await app.generateOutputs(project);
}
