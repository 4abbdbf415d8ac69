"""Writes the schema of some resources of the AWS provider as JSON: python schema.py PACKAGE.tgz NAME.. > schema.json

HashiCorp publishes the whole schema of the provider, as generated classes, in the npm package @cdktf/provider-aws. Each class has
two tables that are read here: in index.js each attribute and block with its type, and what the provider alone sets; in
index.d.ts what is required. A NAME is aws_lb for a resource, data.aws_subnet for a data source; the provider's own
configuration is always there.
"""

import json
import re
import sys
import tarfile

ENTRY = (
    r'^ {%d}(\w+): \{\n'
    r' +value: (.*),\n'
    r' +isBlock: (\w+),\n'
    r' +type: "(\w+)",\n'
    r' +storageClassType: "(\w+)",\n')
FILES = ["index.js", "index.d.ts"]
SIMPLE = {"string": "string", "number": "number", "boolean": "bool", "any": "string"}
GETTER = {
    "getStringAttribute": "string", "getNumberAttribute": "number", "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"], "getStringMapAttribute": ["map", "string"],
}


def attribute_type(kind, storage):
    """Terraform's own spelling of a type."""
    element = SIMPLE.get(re.sub(r"(List|Map)$", "", storage))
    if element is None:
        return None
    return element if kind == "simple" else [kind, element]


def required(types, interface):
    """The names that the interface demands."""
    body = re.search(r"export interface %s (?:extends [\w.]+ )?\{(.*?)\n\}" % interface, types, re.S)
    if not body:
        return {}
    found = re.findall(r"#(\w+) [^\n]*\n(?:(?! +readonly).*\n)* +readonly \w+(\??): (.*);", body[1])
    return {name: (mark == "", ts.split(" |")[0]) for name, mark, ts in found}


def block(code, types, body, indent, interface):
    """The attributes and the blocks of one table."""
    demands, attributes, blocks = required(types, interface), {}, {}
    for name, value, is_block, kind, storage in re.findall(ENTRY % indent, body, re.M):
        demanded, ts = demands.get(name, (False, ""))
        plain = attribute_type(kind, storage)
        if plain is not None:
            attributes[name] = {"type": plain, "required": demanded}
            continue
        function = next(f for f in re.findall(r"(\w+)ToHclTerraform", value) if not f.startswith("cdktf"))
        table = re.search(r"^function %sToHclTerraform\(.*?^}" % function, code, re.S | re.M)[0]
        nested = block(code, types, table, 8, function[0].upper() + function[1:])
        nesting = "single" if kind == "struct" else kind
        blocks[name] = dict(nested, nesting=nesting, required=demanded, many=ts.endswith("[]"), block=is_block == "true")
    return {"attributes": attributes, "blocks": blocks}


def folder(name):
    """Where its class is."""
    return "package/lib/" + name.replace("data.aws_", "data-aws-").replace("aws_", "").replace("_", "-")


def schema(files, name):
    """One resource, data source, or the provider."""
    code, types = (files[f"{folder(name)}/{file}"] for file in FILES)
    main = re.search(r"^class (\w+) extends cdktf\.Terraform(?:Resource|DataSource|Provider) \{(.*?)^\}", code, re.S | re.M)
    found = block(code, types, main[2].split("synthesizeHclAttributes")[1], 12, main[1] + "Config")
    for getter, attribute in re.findall(r"this\.(get\w+Attribute)\('(\w+)'\)", main[2]):
        if attribute not in found["attributes"] and getter in GETTER:
            found["attributes"][attribute] = {"type": GETTER[getter], "computed": True}
    return found


def main():
    names = ["provider", *sorted(sys.argv[2:])]
    wanted = {f"{folder(name)}/{file}" for name in names for file in FILES}
    with tarfile.open(sys.argv[1], "r|gz") as package:
        files = {
            it.name: package.extractfile(it).read().decode().split("//# sourceMapping")[0]
            for it in package if it.name in wanted}
    json.dump({name: schema(files, name) for name in names}, sys.stdout, indent=1)


main()
