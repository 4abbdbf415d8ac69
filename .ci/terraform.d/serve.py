"""Stands for the AWS provider, as far as its schema goes: python serve.py schema.json SOCKET

Terraform takes it for a provider that runs already (TF_REATTACH_PROVIDERS). It tells what attributes there are and finds
nothing wrong with any value; plans and states are made by Terraform's own mocks.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from tf.gen import tfplugin_pb2 as pb

NESTING = pb.Schema.NestedBlock.NestingMode
# A provider fills these in where a configuration is silent; a data source everything.
FILLED = {"id", "region", "tags_all"}


def attribute(name, it, looked_up):
    computed, required = it.get("computed", False), it.get("required", False)
    return pb.Schema.Attribute(
        name=name, type=json.dumps(it["type"]).encode(), required=required, optional=not computed and not required,
        computed=computed or ((looked_up or name in FILLED) and not required))


def block(it, looked_up=False):
    made = pb.Schema.Block(attributes=[attribute(*pair, looked_up) for pair in it["attributes"].items()])
    for name, inner in it["blocks"].items():
        nesting = NESTING.Value(inner["nesting"].upper())
        bounded = nesting in (NESTING.LIST, NESTING.SET)
        made.block_types.add(
            type_name=name, block=block(inner), nesting=nesting, min_items=int(bounded and inner["required"]),
            max_items=int(bounded and not inner["many"]))
    return made


def main():
    with open(sys.argv[1]) as file:
        found = {name: pb.Schema(version=0, block=block(it, name.startswith("data."))) for name, it in json.load(file).items()}
    schemas = pb.GetProviderSchema.Response(provider=found.pop("provider"))
    for name, schema in found.items():
        kind = schemas.data_source_schemas if name.startswith("data.") else schemas.resource_schemas
        kind[name.removeprefix("data.")].CopyFrom(schema)
    answers = {
        "GetProviderSchema": (pb.GetProviderSchema.Request, lambda _: schemas),
        "ValidateProviderConfig": (pb.ValidateProviderConfig.Request, lambda _: pb.ValidateProviderConfig.Response()),
        "ValidateResourceConfig": (pb.ValidateResourceConfig.Request, lambda _: pb.ValidateResourceConfig.Response()),
        "ValidateDataResourceConfig": (
            pb.ValidateDataResourceConfig.Request, lambda _: pb.ValidateDataResourceConfig.Response()),
        "GetMetadata": (pb.GetMetadata.Request, lambda _: pb.GetMetadata.Response()),
        "StopProvider": (pb.StopProvider.Request, lambda _: pb.StopProvider.Response()),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda request, _, answer=answer: answer(request), kind.FromString, lambda it: it.SerializeToString())
        for name, (kind, answer) in answers.items()}
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("tfplugin6.Provider", handlers)])
    server.add_insecure_port(f"unix:{sys.argv[2]}")
    server.start()
    print("serving", flush=True)
    server.wait_for_termination()


main()
