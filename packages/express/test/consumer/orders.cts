import core = require('@holdfast/core');
import holdfast = require('@holdfast/express');
import express = require('express');

const lock = holdfast.lockRoute({
  locker: core.createLocker(),
  key: (req) => `o:${req.params.id}`,
});
express().post('/orders/:id', lock, (req, res) => {
  const held: core.Lock = holdfast.getLock(req);
  res.json(held.key);
});
