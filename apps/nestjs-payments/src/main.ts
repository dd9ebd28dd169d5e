import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from './app.module.ts';

const app = await NestFactory.create(AppModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();

const description = new DocumentBuilder().setTitle('Payments').setVersion('1').build();
SwaggerModule.setup('docs', app, () => SwaggerModule.createDocument(app, description));

await app.listen(process.env['PORT'] ?? 3000, process.env['HOST'] ?? '127.0.0.1');
console.log(`Payments on ${await app.getUrl()}, documented on ${await app.getUrl()}/docs`);
