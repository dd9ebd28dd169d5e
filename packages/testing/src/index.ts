export {
  storeConformance,
  type ConformanceCase,
  type StoreConformanceOptions,
} from './conformance/index.ts';
export {
  faultyStore,
  type Fault,
  type FaultTarget,
  type FaultyStore,
  type FaultyStoreOptions,
  type FaultyVerb,
  type NamespaceOption,
  type StealOptions,
} from './faulty-store.ts';
export {
  seededRandom,
  virtualClock,
  type VirtualClock,
  type VirtualClockOptions,
} from './virtual-clock.ts';
