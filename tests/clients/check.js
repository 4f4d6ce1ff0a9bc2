// SPDX-License-Identifier: GPL-2.0-or-later
// check.js pprof FILE | schema SCHEMA FILE: what npm's readers make of a file, as JSON.
// Numbers are printed as text: they may be more than a double holds.
'use strict'
const fs = require('fs')
const zlib = require('zlib')

function pprof (path) {
  const { Profile } = require('pprof-format')
  const profile = Profile.decode(zlib.gunzipSync(fs.readFileSync(path)))
  const text = (index) => profile.stringTable.strings[Number(index)]
  const totals = {}
  profile.sampleType.forEach((type, i) => {
    totals[text(type.type)] = String(profile.sample.reduce(
      (sum, sample) => sum + BigInt(sample.value[i]), 0n))
  })
  const functions = new Map(profile.function.map((one) => [Number(one.id), text(one.name)]))
  const ids = new Set(profile.location.map((one) => Number(one.id)))
  for (const sample of profile.sample) {
    for (const id of sample.locationId) {
      if (!ids.has(Number(id))) throw new Error(`no location ${id}`)
    }
  }
  for (const location of profile.location) {
    for (const line of location.line) {
      if (!functions.has(Number(line.functionId))) throw new Error('a line without a function')
    }
  }
  return { totals, functions: [...functions.values()] }
}

function schema (schemaPath, path) {
  const Ajv = require('ajv')
  const ajv = new Ajv({ strict: false, logger: false, validateSchema: false })
  const rules = JSON.parse(fs.readFileSync(schemaPath))
  delete rules.$schema // an older draft: what is used of it means the same
  const file = JSON.parse(fs.readFileSync(path))
  const good = ajv.validate(rules, file)
  return { good, errors: ajv.errors }
}

const [kind, ...paths] = process.argv.slice(2)
console.log(JSON.stringify(kind === 'pprof' ? pprof(...paths) : schema(...paths)))
