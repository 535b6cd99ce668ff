"""name, tag, then key=value settings; prints validation vs coordinated on the search's validation episodes."""
import sys, time, torch, numpy as np
torch.set_num_threads(1)
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim.params import compile_scenario
from invrec_rllib.policies.tuned import shipped_parameters
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.learning.pathwise import search as S
from invrec_rllib.learning.pathwise.settings import PathwiseSettings
name,tag=sys.argv[1:3]
kw=dict(a.split("=") for a in sys.argv[3:]); info=kw.pop("information","full")
s=PathwiseSettings.model_validate(kw)
sc=load_scenario(name); params=compile_scenario(sc)
chosen=CoordinatedParameters.from_values(shipped_parameters("coordinated",sc,information=info).parameters)
ref=rollout(params,"coordinated",seed=S._VALIDATION_SEED+s.seed,episodes=s.validation_episodes,information=info).profit.mean()
t0=time.time(); seen=[]
print(s,ref,flush=True)
def pr(step,f):
    if step in (1,10): print(step, "%.1fs"%(time.time()-t0),flush=True)
    if f not in seen: seen.append(f); print(step,"%.1f %+.3f%%"%(f.profit,(f.profit/ref-1)*100),"%.0fs"%(time.time()-t0),flush=True)
r=S.search(params,chosen,information=info,settings=s,progress=pr)
torch.save({"sd":r.pair.state_dict(),"settings":s.model_dump()},f"/work/scratch/pathwise/{tag}.pt")
print({k:round(float(v.detach()),3) for k,v in r.pair.weights().items()})
