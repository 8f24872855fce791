"""The command line, one module a verb.

A verb is a frozen dataclass `Command`: its fields are the options, its docstring is the help, `run()` returns
the exit status. Other packages add verbs through the entry-point group `robostack.commands`.
"""

VERBS = {
    "list": "tasks, devices, boards and runs that are here",
    "train": "train a policy for a task",
    "import": "give a policy that was trained elsewhere our contract",
    "distill": "teach a student that can be exported what an expert knows, or fit a policy to a board",
    "sweep": "train with many seeds and settings, through Ray",
    "export": "write policy.onnx and its C source from a run",
    "verify": "prove that every port computes the same actions",
    "evaluate": "ask an exported policy many unseen episodes of its task",
    "qualify": "the release gate: all that a machine may do to a policy, pass or fail",
    "fly": "fly an exported policy on a board, emulated or real",
    "report": "put a run on one HTML page",
    "view": "show flights, or what is being trained, on a web page",
    "explain": "show the contract inside a policy.onnx",
    "sign": "sign a policy.onnx, or make a key for that",
    "replay": "feed a recording to a policy and show where its actions differ",
    "new": "begin a task, a vehicle or a device of your own",
    "completion": "complete verbs, options, tasks and runs in bash, zsh and fish",
}
"""Verb -> its line in `robostack --help`; the module of the same name (`import_` for a keyword) holds the rest."""
