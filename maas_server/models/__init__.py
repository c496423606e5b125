"""Models: their files, how they are loaded, checked and kept, and what runs them.

Of each file what it is, and in parentheses who calls it; a name without a folder is one of this folder. tests/codebase
holds the list to the folder.

What the rest of the server meets:

    registry        the models of one repository, loaded, routed and up to date (server, services of rpc and http)
    views           frozen pictures of models and versions (model_state makes them, registry hands them out)
    host            what models ask of the engine (keeper calls it; engine.py and deployment.py are it)
    plan            how a version is served, all decided (loader makes it, the engine reads it)
    runner          what runs a model, the interface that packages of others may implement (loader, the engine)
    mode_watch      log lines when predictions cease to hold, or hold again (server)
    check           tries a repository without serving it (cli/check.py)
    cpus            how many CPUs the process really has (server)

What is loaded, and what should be; on the event loop's thread but for `loads` and `background`:

    catalog         the models that there are, from scans and from calls (registry)
    model_state     one model: source, slots, labels, wishes (registry, catalog, keeper)
    lifecycle       which versions are wanted and what to do next: pure functions (keeper, model_state)
    keeper          does it: loads, routes, drains, closes (registry, catalog)
    loads           one load at a time, each in a thread (keeper)
    background      the lowest CPU priority for it while others are served (loads, loader)
    changes         tells who waits that something changed (registry, keeper)
    overrides       a configuration or files that a call brought (registry, catalog)
    reload          a declared set of models, before and after it takes effect (registry, catalog)

Files:

    repository      what is on disk, complete and stable (catalog, check)
    served          models named one by one, as in models.config (repository, registry)
    sources         a model's and a version's files with their configuration (repository and overrides make them)
    files           which files count, and whether they changed (repository, overrides, loader)
    plain_files     opens what others put there, if it is a plain file (whatever reads one)

Configuration:

    config          every key of a maas.yaml (folder_config makes it, the load reads it)
    folder_config   the configuration in a model's folder, in either format or both (repository, overrides)
    config_file     a maas.yaml as text, with errors by line and field (folder_config)
    triton_config   a config.pbtxt, or JSON from a call, as text (folder_config, overrides)
    triton_mapping  that in our keys (folder_config)
    triton_batching, triton_runtime, triton_tensors
                    its batching, its instances and options, its tensors (triton_mapping; of tensors overrides, too)
    triton_model    what it says beyond our keys (triton_mapping makes it, the load reads it)
    findings        what was wrong or without effect in it (whatever reads another server's configuration)
    declared        inputs and outputs as declared, held against the file's (planning, triton_tensors)
    instances       its `instances`, and whether anything here runs them (config, loader)
    labels          names of classes, from a text file (loader)

Loading one version; all of it blocks, in a worker thread:

    loader          from a model file to a plan and a runner (keeper, check)
    inspect         which axis counts rows, where sizes of outputs come from (loader)
    prober          the first example inputs that a model accepts (whatever runs it at load)
    samples         example inputs (prober, inspect, verify)
    warmup_runs     the samples that a configuration brings (loader)
    guard           bounds what example runs may take (prober, inspect, measure)
    memory          how far memory rises, and how far it may (guard, loader, measure)
    padding         `padding` of a maas.yaml, against the signature (loader, inspect)
    planning        the parts of a plan, from what was found and declared (loader)
    verify          whether rows of a batch depend on each other (loader)
    measure         T(n) and S(n), and the batch size that they make worthwhile (loader)

ONNX Runtime:

    onnx_runner     the runner for .onnx files (loader, by its name)
    onnx_options    its session options (onnx_runner)
    cuda_options    its execution providers on a GPU: options, and whether they came (for a runner on GPUs)
    onnx_tensors    its datatypes and tensors (onnx_runner)
    arena           when its memory is given back after a peak (onnx_runner)
"""
