"""The trust registry: it serves files that are signed by whoever owns them, and nothing it says needs to be believed.

Where things live:

    folder, settings        what lies where, registry.toml
    ceremony, founding      founding a realm, in one room or over files
    proposal, difference,   what people sign: kept, shown whole, drafted and checked,
      draft, approval         signed one by one, published at the threshold
    join, waiting           requests of authorities to be admitted; those by root's word, while they wait
    publication             what participants sign: checked, then published
    repository, writing,    the one writer, its turn, and which write makes a publication
      durable                 durable
    published, tree,        what is current, for us and for readers; what watchers hear,
      watch, retention        and what is removed
    floor                   versions given out before a restore, never given out again
    standing                root and targets that nodes hold newer: nobody signs them here
    export, rebuild,        mirrors, and a lost registry made anew: of everything the newest
      salvage, survey,        that holds, from all that is left
      node_folder
    upload, ledger,         the service: lists on their way in, request ids,
      directory, service      whose CA is whose, the servicer
    certificate             the registry's own, issued anew by its CA
    app                     the wiring, and what `serve` does by itself
    inspection, status      `check` and `status`
    cli                     the command trust-registry
"""
