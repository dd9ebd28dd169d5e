export { instrumentLockers, type InstrumentLockersOptions } from './instrument.ts';
