import { describeOutages } from '@holdfast/test-servers';
import { test } from './site.ts';

describeOutages(test, { cutAfter: true, confirmsAtOnce: true });
